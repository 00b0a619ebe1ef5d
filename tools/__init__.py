"""What `make` needs beside the program."""
