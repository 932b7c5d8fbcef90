"""BatchGateways: their clients and credentials, their health, and how long and for how many they are to be left in
peace.

Asks the provider nothing about a batch.
"""
