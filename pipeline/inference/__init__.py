"""What an exported file answers to pictures and tables of people."""
