"""The subscribers' feature: the allow list of each channel, the first `Admission`."""
