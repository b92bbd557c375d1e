"""The holder of a party's secrets: signs, unwraps, erases."""
