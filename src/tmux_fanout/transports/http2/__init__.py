"""HTTP/2 on trio streams, with the frames and states of h2."""
