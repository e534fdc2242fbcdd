"""What other programs send: dates of headers, markup, and text that is shown or stored. Pure: no I/O."""
