"""The content catalogue of a data server: titles, their files, and the channels they are sent on (S0-1)."""
