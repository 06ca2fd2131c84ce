"""Networks: drivers, IPAM, firewall, published ports, DNS."""
