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

// results are the samples of each round, by book, size and operation.
type results map[string]map[int]map[string][][]sample

// add takes the visits of a round.
func (r results) add(book string, size int, visits []map[string]sample) {
	if r[book] == nil {
		r[book] = map[int]map[string][][]sample{}
	}
	if r[book][size] == nil {
		r[book][size] = map[string][][]sample{}
	}
	of := map[string][]sample{}
	for _, v := range visits {
		for name, s := range v {
			of[name] = append(of[name], s)
		}
	}
	for name, list := range of {
		r[book][size][name] = append(r[book][size][name], list)
	}
}

// cell has the results of all visits for one operation. Low and High are the quartiles beside the median of Value.
type cell struct {
	Operation string  `json:"operation"`
	Unit      string  `json:"unit"`
	Book      string  `json:"book"`
	Peers     int     `json:"peers"`
	Value     float64 `json:"value"`
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
	CPU       float64 `json:"cpu"`
	Ratio     float64 `json:"ratio"` // of the values, to ours with persistence
	Visits    int     `json:"visits"`
	Calls     int     `json:"calls"` // in all visits
}

// sum makes a cell of the rounds of an operation. The value is the median of all visits. The system measures the
// processor time of a visit of some milliseconds badly, so it is taken over all calls of a round, and the median is
// over the rounds.
func sum(rounds [][]sample) (c cell) {
	var values, cpus []float64
	for _, visits := range rounds {
		calls, cpu := 0, 0.0
		for _, s := range visits {
			values = append(values, s.value)
			calls, cpu = calls+s.calls, cpu+s.cpu*float64(s.calls)
		}
		cpus = append(cpus, cpu/float64(calls))
		c.Visits, c.Calls = c.Visits+len(visits), c.Calls+calls
	}
	slices.Sort(values)
	slices.Sort(cpus)
	c.Low, c.Value, c.High = values[len(values)/4], values[len(values)/2], values[(3*len(values)-1)/4]
	c.CPU = cpus[len(cpus)/2]
	return c
}

// cells returns all cells, by operation, size and book.
func (r results) cells() (all []cell) {
	for _, o := range operations {
		if !o.wanted() {
			continue
		}
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
				rounds := r[k.name][n][o.name]
				if len(rounds) == 0 {
					continue
				}
				c := sum(rounds)
				c.Operation, c.Unit, c.Book, c.Peers = o.name, o.unit, k.name, n
				if k.ours {
					ours = c.Value // the last of ours is the persistent one
				} else if ours > 0 && o.name != opHeld && o.name != opNew {
					c.Ratio = c.Value / ours
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
		fmt.Fprintf(tw, "%s\t±\tCPU\tx ours\t", short(n))
	}
	fmt.Fprintln(tw)
	for _, o := range operations {
		for _, k := range kinds {
			line := fmt.Sprintf("%s\t%s\t%s\t", o.full(), o.unit, k.name)
			found := false
			for _, n := range counts {
				i := slices.IndexFunc(all, func(c cell) bool {
					return c.Operation == o.name && c.Book == k.name && c.Peers == n
				})
				if i < 0 {
					line += "\t\t\t\t"
					continue
				}
				found = true
				line += value(all[i].Value) + "\t" + spread(all[i]) + "\t" + number(all[i].CPU) + "\t" +
					number(all[i].Ratio) + "\t"
			}
			if found {
				fmt.Fprintln(tw, line)
			}
		}
	}
	_ = tw.Flush()
}

// spread returns half of the distance between the quartiles, relative to the median.
func spread(c cell) string {
	if c.Visits < 2 || c.High == c.Low || c.Value == 0 {
		return ""
	}
	return strconv.FormatFloat(50*(c.High-c.Low)/c.Value, 'f', 0, 64) + "%"
}

func value(f float64) string {
	if f >= 1000 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

// number formats a value, if there is one.
func number(f float64) string {
	if f == 0 {
		return ""
	}
	return value(f)
}

// short returns 1k, 10k, 1M.
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
	_ = c.Write([]string{"operation", "unit", "book", "peers",
		"value", "low", "high", "cpu", "ratio", "visits", "calls"})
	for _, m := range all {
		f := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
		_ = c.Write([]string{m.Operation, m.Unit, m.Book, strconv.Itoa(m.Peers), f(m.Value), f(m.Low), f(m.High),
			f(m.CPU), f(m.Ratio), strconv.Itoa(m.Visits), strconv.Itoa(m.Calls)})
	}
	c.Flush()
	return c.Error()
}

func writeJSON(w io.Writer, all []cell) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(all)
}
