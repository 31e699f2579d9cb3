// Package forcelayout places the nodes of a graph in the plane: linked nodes attract each other, all nodes repel each
// other (by Barnes and Hut's approximation, J. Barnes and P. Hut, Nature 324, 1986), and all are drawn to the middle.
// The same graph gets the same places.
package forcelayout

import "math"

// Point is the place of a node.
type Point struct{ X, Y float64 }

const (
	linkLength = 30.0
	repulsion  = -60.0 // of two nodes at distance 1
	gravity    = 0.04
	theta      = 0.9 // how far away a cell must be, in its own widths, to count as one node
	friction   = 0.6 // what is left of a speed after a step
	finalHeat  = 0.001
)

// Steps returns how many steps suit a graph of n nodes: enough for a good picture, and seconds at most.
func Steps(n int) int {
	return max(60, min(300, 400_000/max(n, 1)))
}

// Layout places n nodes with undirected links between them. Links to nodes that do not exist are left out.
func Layout(n int, links [][2]int32, steps int) []Point {
	at := make([]Point, n)
	speed := make([]Point, n)
	for i := range at { // a sunflower: even, and no two at one place
		r, angle := 10*math.Sqrt(float64(i)+0.5), float64(i)*math.Pi*(3-math.Sqrt(5))
		at[i] = Point{r * math.Cos(angle), r * math.Sin(angle)}
	}
	degree := make([]float64, n)
	var valid [][2]int32
	for _, l := range links {
		if l[0] != l[1] && l[0] >= 0 && l[1] >= 0 && int(l[0]) < n && int(l[1]) < n {
			valid = append(valid, l)
			degree[l[0]]++
			degree[l[1]]++
		}
	}
	heat, cooling := 1.0, math.Pow(finalHeat, 1/float64(max(steps, 1)))
	t := &tree{}
	for range steps {
		attract(at, speed, valid, degree, heat)
		t.build(at)
		for i := range at {
			f := t.force(at[i])
			speed[i].X += f.X*heat - at[i].X*gravity*heat
			speed[i].Y += f.Y*heat - at[i].Y*gravity*heat
			speed[i].X *= friction
			speed[i].Y *= friction
		}
		for i := range at {
			at[i].X += speed[i].X
			at[i].Y += speed[i].Y
		}
		heat *= cooling
	}
	return at
}

// attract pulls linked nodes to the length of a link. The end with more links moves less.
func attract(at, speed []Point, links [][2]int32, degree []float64, heat float64) {
	for _, l := range links {
		a, b := l[0], l[1]
		dx, dy := at[b].X+speed[b].X-at[a].X-speed[a].X, at[b].Y+speed[b].Y-at[a].Y-speed[a].Y
		d := math.Hypot(dx, dy)
		if d == 0 {
			dx, d = 1e-3, 1e-3
		}
		k := (d - linkLength) / d * heat / min(degree[a], degree[b])
		share := degree[a] / (degree[a] + degree[b])
		speed[b].X -= dx * k * share
		speed[b].Y -= dy * k * share
		speed[a].X += dx * k * (1 - share)
		speed[a].Y += dy * k * (1 - share)
	}
}

// tree is a quadtree of the nodes. Its cells are in one slice, which is used again.
type tree struct {
	cells []cell
	stack []int32
}

type cell struct {
	x, y, size float64 // its lower corner, and its width
	mass       float64
	cx, cy     float64 // the middle of its nodes
	child      [4]int32
	leaf       bool
}

// deepest bounds the depth: what is closer together than the width of a cell there counts as at one place.
const deepest = 24

func (t *tree) build(at []Point) {
	t.cells = t.cells[:0]
	if len(at) == 0 {
		return
	}
	lo, hi := at[0], at[0]
	for _, p := range at {
		lo.X, lo.Y = min(lo.X, p.X), min(lo.Y, p.Y)
		hi.X, hi.Y = max(hi.X, p.X), max(hi.Y, p.Y)
	}
	t.cells = append(t.cells, cell{x: lo.X, y: lo.Y, size: max(hi.X-lo.X, hi.Y-lo.Y, 1e-9) * 1.0001, leaf: true})
	for _, p := range at {
		t.insert(p)
	}
	for i := range t.cells {
		c := &t.cells[i]
		if c.mass > 0 {
			c.cx /= c.mass
			c.cy /= c.mass
		}
	}
}

// insert adds a node. Until build ends, cx and cy are sums.
func (t *tree) insert(p Point) {
	for i, depth := int32(0), 0; ; depth++ {
		c := &t.cells[i]
		if c.leaf && (c.mass == 0 || depth >= deepest) {
			c.mass++
			c.cx += p.X
			c.cy += p.Y
			return
		}
		if c.leaf { // it has one node, which moves into a child
			old := Point{c.cx, c.cy}
			c.leaf = false
			k := c.quadrant(old)
			j := t.grow(i, k)
			t.cells[j].mass, t.cells[j].cx, t.cells[j].cy = 1, old.X, old.Y
			c = &t.cells[i]
		}
		c.mass++
		c.cx += p.X
		c.cy += p.Y
		k := c.quadrant(p)
		if c.child[k] == 0 {
			t.grow(i, k)
		}
		i = t.cells[i].child[k]
	}
}

func (c *cell) quadrant(p Point) int {
	k := 0
	if p.X >= c.x+c.size/2 {
		k = 1
	}
	if p.Y >= c.y+c.size/2 {
		k += 2
	}
	return k
}

// grow makes a child of a cell. The root is nobody's child, so 0 means none.
func (t *tree) grow(i int32, k int) int32 {
	c := t.cells[i]
	half := c.size / 2
	j := int32(len(t.cells))
	t.cells = append(t.cells, cell{x: c.x + float64(k&1)*half, y: c.y + float64(k>>1)*half, size: half, leaf: true})
	t.cells[i].child[k] = j
	return j
}

// force returns how all nodes together push one at p.
func (t *tree) force(p Point) (f Point) {
	t.stack = append(t.stack[:0], 0)
	for len(t.stack) > 0 {
		c := &t.cells[t.stack[len(t.stack)-1]]
		t.stack = t.stack[:len(t.stack)-1]
		dx, dy := c.cx-p.X, c.cy-p.Y
		d2 := dx*dx + dy*dy
		if !c.leaf && c.size*c.size >= theta*theta*d2 {
			for _, j := range c.child {
				if j != 0 {
					t.stack = append(t.stack, j)
				}
			}
			continue
		}
		if d2 == 0 { // itself
			continue
		}
		k := repulsion * c.mass / max(d2, 1)
		f.X += dx * k
		f.Y += dy * k
	}
	return f
}
