package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// results are all figures, by book, size and operation.
type results map[string]map[int]map[string][]figure

func (r results) add(book string, size int, figures map[string]figure) {
	if r[book] == nil {
		r[book] = map[int]map[string][]figure{}
	}
	if r[book][size] == nil {
		r[book][size] = map[string][]figure{}
	}
	for name, f := range figures {
		r[book][size][name] = append(r[book][size][name], f)
	}
}

// cell is one median.
type cell struct {
	Operation string  `json:"operation"`
	Unit      string  `json:"unit"`
	Book      string  `json:"book"`
	Peers     int     `json:"peers"`
	Value     float64 `json:"value"`
	CPU       float64 `json:"cpu"`
	Ratio     float64 `json:"ratio"` // to ours with persistence: of processor time, which other programs hardly disturb, where there is any
}

// medians are all cells, by operation, size and book.
func (r results) medians() (all []cell) {
	for _, o := range operations {
		var counts []int
		for _, bySize := range r {
			for n := range bySize {
				if !slices.Contains(counts, n) {
					counts = append(counts, n)
				}
			}
		}
		slices.Sort(counts)
		for _, n := range counts {
			ours := 0.0
			for _, k := range kinds {
				f := r[k.name][n][o.name]
				if len(f) == 0 {
					continue
				}
				slices.SortFunc(f, func(a, b figure) int {
					if a.value < b.value {
						return -1
					}
					return 1
				})
				m := f[len(f)/2]
				c := cell{Operation: o.name, Unit: o.unit, Book: k.name, Peers: n, Value: m.value, CPU: m.cpu}
				cost := m.cpu
				if cost == 0 {
					cost = m.value
				}
				if k.ours {
					ours = cost // the last of ours is the persistent one
				} else if ours > 0 && o.name != opHeld {
					c.Ratio = cost / ours
				}
				all = append(all, c)
			}
		}
	}
	return all
}

func table(w io.Writer, all []cell, counts []int) {
	tw := tabwriter.NewWriter(w, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "measurement\tunit\tbook\t")
	for _, n := range counts {
		fmt.Fprintf(tw, "%s\tCPU\tx ours\t", short(n))
	}
	fmt.Fprintln(tw)
	for _, o := range operations {
		for _, k := range kinds {
			line := fmt.Sprintf("%s\t%s\t%s\t", o.full(), o.unit, k.name)
			found := false
			for _, n := range counts {
				i := slices.IndexFunc(all, func(c cell) bool { return c.Operation == o.name && c.Book == k.name && c.Peers == n })
				if i < 0 {
					line += "\t\t\t"
					continue
				}
				found = true
				line += number(all[i].Value) + "\t" + number(all[i].CPU) + "\t" + number(all[i].Ratio) + "\t"
			}
			if found {
				fmt.Fprintln(tw, line)
			}
		}
	}
	_ = tw.Flush()
}

func number(f float64) string {
	switch {
	case f == 0:
		return ""
	case f >= 1000:
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

// short is 1k, 10k, 1M.
func short(n int) string {
	switch {
	case n%1_000_000 == 0:
		return strconv.Itoa(n/1_000_000) + "M"
	case n%1000 == 0:
		return strconv.Itoa(n/1000) + "k"
	}
	return strconv.Itoa(n)
}

func writeCSV(w io.Writer, all []cell) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"operation", "unit", "book", "peers", "value", "cpu", "ratio"})
	for _, m := range all {
		f := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
		_ = c.Write([]string{m.Operation, m.Unit, m.Book, strconv.Itoa(m.Peers), f(m.Value), f(m.CPU), f(m.Ratio)})
	}
	c.Flush()
	return c.Error()
}

func writeJSON(w io.Writer, all []cell) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(all)
}
