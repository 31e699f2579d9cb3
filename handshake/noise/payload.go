package noise

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of NoiseHandshakePayload and NoiseExtensions (libp2p/specs, noise). Field 3 of the payload was early
// data once.
const (
	fieldKey        = 1
	fieldSig        = 2
	fieldExtensions = 4

	fieldMuxers = 2 // of the extensions; field 1 is for WebTransport
)

// maxMuxers is how many muxers a remote may offer; a longer list counts as none, as it does for go-libp2p.
const maxMuxers = 100

// maxOurMuxers bounds our own list, in bytes of its encoding, so that our messages stay well below what remotes take.
const maxOurMuxers = 2 << 10

// appendMuxers appends the extensions with the muxers that we offer.
func appendMuxers(dst []byte, muxers []string) []byte {
	var extensions []byte
	for _, m := range muxers {
		extensions = protowire.AppendTag(extensions, fieldMuxers, protowire.BytesType)
		extensions = protowire.AppendString(extensions, m)
	}
	dst = protowire.AppendTag(dst, fieldExtensions, protowire.BytesType)
	return protowire.AppendBytes(dst, extensions)
}

// payload is what a remote states about itself. All slices point into the message.
type payload struct {
	key, sig []byte
	muxers   [][]byte
}

// decodePayload reads a payload. Unknown fields are skipped; a field that must be there once may not come twice. It is
// written by hand because it allocates nothing for a remote that has not proven its key: all slices point into the
// message.
func decodePayload(msg []byte) (p payload, err error) {
	var extensions []byte
	err = eachBytes(msg, func(num protowire.Number, v []byte) error {
		var dst *[]byte
		switch num {
		case fieldKey:
			dst = &p.key
		case fieldSig:
			dst = &p.sig
		case fieldExtensions:
			dst = &extensions
		default:
			return nil
		}
		if *dst != nil {
			return fmt.Errorf("%w: field %d twice", ErrMalformed, num)
		}
		*dst = v
		return nil
	})
	if err != nil {
		return payload{}, err
	}
	if p.key == nil || p.sig == nil {
		return payload{}, fmt.Errorf("%w: no key, or no signature", ErrMalformed)
	}
	count := 0
	err = eachBytes(extensions, func(num protowire.Number, v []byte) error {
		if num != fieldMuxers {
			return nil
		}
		if count++; count <= maxMuxers {
			p.muxers = append(p.muxers, v)
		}
		return nil
	})
	if err != nil {
		return payload{}, fmt.Errorf("extensions: %w", err)
	}
	if count > maxMuxers {
		p.muxers = nil
	}
	return p, nil
}

// eachBytes calls f for every length-delimited field of a protobuf message; v is never nil.
func eachBytes(msg []byte, f func(num protowire.Number, v []byte) error) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		if num > protowire.MaxValidNumber {
			return fmt.Errorf("%w: field number %d is above the largest", ErrMalformed, num)
		}
		msg = msg[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, msg); n < 0 {
				return fmt.Errorf("%w: field %d: %w", ErrMalformed, num, protowire.ParseError(n))
			}
			msg = msg[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(msg)
		if n < 0 {
			return fmt.Errorf("%w: field %d: %w", ErrMalformed, num, protowire.ParseError(n))
		}
		if err := f(num, v); err != nil {
			return err
		}
		msg = msg[n:]
	}
	return nil
}

// chooseMuxer returns the dialer's first that the listener has too, "" for none. ours is in our order, remote in the
// remote's.
func chooseMuxer(dialer bool, ours []string, remote [][]byte) string {
	if dialer {
		for _, m := range ours {
			if slices.ContainsFunc(remote, func(r []byte) bool { return string(r) == m }) {
				return m
			}
		}
		return ""
	}
	for _, r := range remote {
		if i := slices.Index(ours, string(r)); i >= 0 {
			return ours[i]
		}
	}
	return ""
}
