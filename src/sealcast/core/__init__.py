"""What every other package stands on: identifiers, secrets, errors, ports and the channel."""
