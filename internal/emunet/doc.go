// Package emunet emulates an IPv4 network between processes of one machine, as root. Each place is a network namespace
// whose only way out is a TUN device; the package carries packets between them, late, or not at all. It needs
// /dev/net/tun and the command ip.
package emunet
