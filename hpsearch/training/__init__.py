"""The pack: many trials trained together as one tensor program."""
