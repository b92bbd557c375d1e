"""What travels by unicast: signed requests, sealed answers, freshness and problem details."""
