// Package live is the program that shows something as it changes: a network (Demo), a node (Status, Peers), a crawl
// (Crawl). On a terminal it draws on the alternate screen, and answers to keys; elsewhere it prints a line now and
// then, or JSON.
//
// A screen is a plain value: data, keys and the time go in, lines of text come out. So a frame of a fixed model is a
// golden test. Show alone knows terminals and goroutines.
//
// Text from remotes passes Clean before it is drawn. Shapes and words say what colours say.
package live

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// Screen shows data of one kind. Its methods are called by one goroutine, and only compute.
type Screen[D any] interface {
	// Set replaces the data. The screen owns it.
	Set(data D)
	// Tick tells the time.
	Tick(now time.Time)
	// Key handles a key, by its name ("k", "up", "enter"), and returns what the owner of the data is to do, or nil.
	Key(name string) Action
	// Notice shows a line until the next key: what became of an Action.
	Notice(text string)
	// Frame draws: exactly l.Height lines, none wider than l.Width.
	Frame(l Look) []string
	// Line is the state in one line, for what is not a terminal.
	Line() string
	// Last is the state as text, for the end. The lines are not wider than l.Width, and as many as it takes.
	Last(l Look) []string
	// JSON is the state for --json.
	JSON() any
}

// Action is what a key asks of the owner of the data.
type Action interface{ action() }

// Quit ends the program.
type Quit struct{}

// Open opens the page in a browser.
type Open struct{}

func (Quit) action() {}
func (Open) action() {}

// Output is where Show shows.
type Output struct {
	In  io.Reader // keys; they are read if it is a terminal
	Out io.Writer
	Env []string // nil: that of the process
	// Plain prints lines to a terminal, too. JSON prints JSON values, one a line, instead.
	Plain, JSON bool
}

// How often Show draws and prints.
const (
	drawEvery  = 250 * time.Millisecond
	printEvery = 2 * time.Second
	maxFrames  = 30 // a second: how quickly a key shows
	maxActions = 16 // that wait
)

// Terminal reports whether Show draws frames: Out is a terminal that can, and nobody asked for lines.
func (o Output) Terminal() bool {
	return !o.Plain && !o.JSON && isTerminal(o.Out) && lookup(o.env(), "TERM") != "dumb"
}

func (o Output) env() []string {
	if o.Env != nil {
		return o.Env
	}
	return os.Environ()
}

// look returns how text for the end is drawn.
func (o Output) look() Look {
	l := Look{Width: 80, Height: 24, ASCII: !isUTF8(o.env())}
	if f, ok := o.Out.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			l.Width, l.Height = w, h
		}
	}
	if !o.Terminal() {
		l.Width = max(l.Width, 160)
	}
	return l
}

func isTerminal(of any) bool {
	f, ok := of.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Show shows what comes from data, always the newest, until data is closed, ctx has ended, or the user quits. Then it
// prints the last state as plain text, unless the output is JSON. act is called for each Action but Quit, one at a
// time, and returns a notice for the user, or ""; nil does nothing. Its ctx ends with Show.
func Show[D any](ctx context.Context, o Output, s Screen[D], data <-chan D,
	act func(context.Context, Action) string) error {
	s.Tick(time.Now())
	if !o.Terminal() {
		return printLines(ctx, o, s, data)
	}
	if err := draw(ctx, o, s, data, act); err != nil {
		return err
	}
	return printLast(o, s, "")
}

// printLast prints the last state, if there is one, after before.
func printLast[D any](o Output, s Screen[D], before string) error {
	w := bufio.NewWriter(o.Out)
	for i, line := range s.Last(o.look()) {
		if i == 0 {
			fmt.Fprint(w, before)
		}
		fmt.Fprintln(w, strings.TrimRight(ansi.Strip(line), " "))
	}
	return w.Flush()
}

// printLines prints a line now and then, and the last state.
func printLines[D any](ctx context.Context, o Output, s Screen[D], data <-chan D) error {
	e := json.NewEncoder(o.Out)
	e.SetEscapeHTML(false)
	known := false
	print := func() error {
		s.Tick(time.Now())
		switch {
		case !known:
			return nil
		case o.JSON:
			return e.Encode(s.JSON())
		}
		_, err := fmt.Fprintln(o.Out, o.look().text(ansi.Strip(s.Line())))
		return err
	}
	end := func() error {
		if o.JSON {
			return print()
		}
		if !known {
			return nil
		}
		return printLast(o, s, "\n")
	}
	tick := time.NewTicker(printEvery)
	defer tick.Stop()
	for {
		select {
		case d, ok := <-data:
			if !ok {
				return end()
			}
			s.Set(d)
			if !known {
				known = true
				if err := print(); err != nil {
					return err
				}
			}
		case <-tick.C:
			if err := print(); err != nil {
				return err
			}
		case <-ctx.Done():
			return end()
		}
	}
}

// draw runs the program on the terminal.
func draw[D any](ctx context.Context, o Output, s Screen[D], data <-chan D,
	act func(context.Context, Action) string) error {
	var in io.Reader
	if isTerminal(o.In) {
		in = o.In
	}
	actions := make(chan Action, maxActions)
	p := tea.NewProgram(&program[D]{screen: s, look: Look{ASCII: !isUTF8(o.env())}, actions: actions},
		tea.WithInput(in), tea.WithOutput(o.Out), tea.WithEnvironment(colours(o.env())), tea.WithFPS(maxFrames),
		tea.WithoutSignalHandler())
	ctx, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer stop()
	parts.Go(func() { feed(ctx, p, data) })
	parts.Go(func() {
		for {
			select {
			case a := <-actions:
				if act == nil {
					continue
				}
				if text := act(ctx, a); text != "" {
					p.Send(notice(text))
				}
			case <-ctx.Done():
				return
			}
		}
	})
	_, err := p.Run()
	return err
}

// feed sends the newest data and the time to the program, at most four times a second, until ctx ends or data is
// closed; then it ends the program.
func feed[D any](ctx context.Context, p *tea.Program, data <-chan D) {
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	var newest fresh[D]
	first := true
	for {
		select {
		case d, ok := <-data:
			if !ok {
				if newest.is {
					p.Send(newest)
				}
				p.Quit()
				return
			}
			newest = fresh[D]{data: d, is: true}
			if first {
				first = false
				p.Send(newest)
				newest = fresh[D]{}
			}
		case now := <-tick.C:
			if newest.is {
				p.Send(newest)
				newest = fresh[D]{}
			}
			p.Send(now)
		case <-ctx.Done():
			p.Quit()
			return
		}
	}
}

// fresh is the message with new data.
type fresh[D any] struct {
	data D
	is   bool
}

// notice is the message with a notice.
type notice string

// program is the tea.Model around a screen.
type program[D any] struct {
	screen  Screen[D]
	look    Look
	actions chan<- Action
}

// Init implements tea.Model.
func (p *program[D]) Init() tea.Cmd { return nil }

// Update implements tea.Model.
func (p *program[D]) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		p.look.Width, p.look.Height = msg.Width, msg.Height
	case fresh[D]:
		p.screen.Set(msg.data)
	case time.Time:
		p.screen.Tick(msg)
	case notice:
		p.screen.Notice(string(msg))
	case tea.KeyPressMsg:
		switch name := msg.String(); name {
		case "ctrl+c":
			return p, tea.Quit
		case "ctrl+z":
			return p, tea.Suspend
		default:
			return p, p.do(p.screen.Key(name))
		}
	}
	return p, nil
}

func (p *program[D]) do(a Action) tea.Cmd {
	switch a.(type) {
	case nil:
	case Quit:
		return tea.Quit
	default:
		select {
		case p.actions <- a:
		default:
			p.screen.Notice("busy: that key was left out")
		}
	}
	return nil
}

// View implements tea.Model.
func (p *program[D]) View() tea.View {
	if p.look.Width == 0 {
		return tea.View{AltScreen: true}
	}
	l := p.look
	l.Width, l.Height = max(l.Width, minWidth), max(l.Height, minHeight)
	lines := p.screen.Frame(l)[:p.look.Height]
	for i := range lines {
		if p.look.Width < l.Width {
			lines[i] = cut(lines[i], p.look.Width, "")
		}
	}
	return tea.View{Content: strings.Join(lines, "\n"), AltScreen: true, DisableBracketedPasteMode: true}
}

// colours returns an environment in which any value of NO_COLOR counts, as https://no-color.org says. The library takes
// only what strconv.ParseBool takes.
func colours(env []string) []string {
	if lookup(env, "NO_COLOR") != "" {
		return append(env[:len(env):len(env)], "NO_COLOR=1")
	}
	return env
}
