"""Inputs of the tests."""

import json

CHAT = "/v1/chat/completions"


def jsonl(*custom_ids: str, prompt: str = "Say hello.") -> bytes:
    lines = [
        {
            "custom_id": custom_id,
            "method": "POST",
            "url": CHAT,
            "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}]},
        }
        for custom_id in custom_ids
    ]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


FIVE = jsonl("one", "two", "three", "four", "five")
