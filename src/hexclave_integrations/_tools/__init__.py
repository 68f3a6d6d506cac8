"""The console command and the pytest plugin."""
