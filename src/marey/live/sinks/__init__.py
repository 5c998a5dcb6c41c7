"""Where events go: a file, a web address, a broker, a program. Each in a file of its own, behind `sink.Sink`."""
