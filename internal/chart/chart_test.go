package chart

import (
	"bytes"
	"testing"
)

// The same data gives the same bytes, with every line's name in them.
func TestWrite(t *testing.T) {
	c := Chart{Title: "title", X: "x", Y: "y", LogX: true, Low: 0, High: 100, Lines: []Line{
		{Name: "first", Points: []Point{{1, 10}, {1e3, 50}, {1e6, 90}}, Bold: true},
		{Name: "second", Points: []Point{{1, 20}, {1e6, 30}}, Dots: true},
	}}
	var a, b bytes.Buffer
	if err := c.Write(&a); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two pictures of the same data differ")
	}
	for _, text := range []string{"title", "first", "second", "1M"} {
		if !bytes.Contains(a.Bytes(), []byte(">"+text+"<")) {
			t.Errorf("no %q in the picture", text)
		}
	}
}
