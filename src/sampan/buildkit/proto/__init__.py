"""BuildKit's messages, as far as they are used; `make proto` compiles them."""
