"""The public keys that verify access tokens, and the one that signs them."""
