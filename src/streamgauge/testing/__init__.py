"""What tests of streamgauge, and of what is built on it, may use: public, documented, and free of mocks."""
