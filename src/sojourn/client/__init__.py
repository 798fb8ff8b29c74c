"""The workload's side: profiles, signed requests, live sessions and the socket for children."""
