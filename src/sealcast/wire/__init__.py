"""Multicast bytes to packets and back: RTP, SRTP, SRTCP, SEAL, counters and replay."""
