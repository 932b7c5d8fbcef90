"""What speaks the API of the provider: files and batches, through Kong or straight to Azure OpenAI or OpenAI."""
