package relaypb

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// EncodeAnnounce encodes an announcement. ids are whole ids, one after the other; more is Announce.more.
func EncodeAnnounce(ids []byte, sizes []uint32, more bool) []byte {
	packed := 0
	for _, s := range sizes {
		packed += protowire.SizeVarint(uint64(s))
	}
	body := fieldSize(len(ids)) + fieldSize(packed)
	if more {
		body += 2
	}
	b := head(KindAnnounce, body)
	b = protowire.AppendTag(b, fieldIDs, protowire.BytesType)
	b = protowire.AppendBytes(b, ids)
	b = protowire.AppendTag(b, fieldSizes, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(packed))
	for _, s := range sizes {
		b = protowire.AppendVarint(b, uint64(s))
	}
	if more {
		b = protowire.AppendTag(b, fieldMore, protowire.VarintType)
		b = protowire.AppendVarint(b, 1)
	}
	return b
}

// EncodeMore encodes the word that there is room for more announcements.
func EncodeMore() []byte { return head(KindMore, 0) }

// EncodeRequest encodes a request for whole ids, one after the other.
func EncodeRequest(ids []byte) []byte {
	b := head(KindRequest, fieldSize(len(ids)))
	b = protowire.AppendTag(b, fieldIDs, protowire.BytesType)
	return protowire.AppendBytes(b, ids)
}

// EncodeMissing encodes the answer to count requests.
func EncodeMissing(count int) []byte {
	b := head(KindMissing, 1+protowire.SizeVarint(uint64(count)))
	b = protowire.AppendTag(b, fieldCount, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(count))
}

// EncodeItems encodes items as an answer (KindItems) or a push (KindPush).
func EncodeItems(kind Kind, items ...[]byte) []byte {
	body := 0
	for _, item := range items {
		body += fieldSize(len(item))
	}
	b := head(kind, body)
	for _, item := range items {
		b = protowire.AppendTag(b, fieldItems, protowire.BytesType)
		b = protowire.AppendBytes(b, item)
	}
	return b
}

// ItemOverhead is the most that EncodeItems adds to a single item, and to each item.
const ItemOverhead = 16

// head begins a message of one kind. There is room for all of it.
func head(kind Kind, body int) []byte {
	b := make([]byte, 0, fieldSize(body))
	b = protowire.AppendTag(b, protowire.Number(kind), protowire.BytesType)
	return protowire.AppendVarint(b, uint64(body))
}

// fieldSize is the length of a field of n bytes whose number is below 16.
func fieldSize(n int) int { return 1 + protowire.SizeBytes(n) }

// SizeOfOne is the length of a message with a single item of n bytes.
func SizeOfOne(n int) int { return fieldSize(fieldSize(n)) }
