// Package switchyardpb holds the protocol buffers of our own formats.
package switchyardpb
