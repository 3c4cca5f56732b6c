package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func benchCmd() *cobra.Command {
	return group("bench", "Measure this machine, with its own floor beside each figure", benchLogCmd(), benchIssueCmd())
}

// A figure is one line of a benchmark. Times are in milliseconds, cpu is user
// and system time of an operation, rate is per second; floor is what the budget
// compares with, measured in the same run, and ratio is what the budget names
// over its floor. bytes is what an operation wrote to files, where that is counted.
type figure struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Rate    float64 `json:"rate"`
	CPU     float64 `json:"cpu"`
	Floor   float64 `json:"floor"`
	Ratio   float64 `json:"ratio"`
	Bytes   float64 `json:"bytes,omitzero"`
	Clients int     `json:"clients"`
	N       int     `json:"n"`
}

type figures []figure

func (fs figures) text(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "name\tclients\tn\tp50 ms\tp99 ms\tper s\tcpu ms\tfloor ms\tratio\tbytes\t")
	for _, f := range fs {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.3f\t%.3f\t%.0f\t%.4f\t%.4f\t%.2f\t%.0f\t\n", f.Name, f.Clients, f.N, f.P50, f.P99, f.Rate, f.CPU, f.Floor, f.Ratio, f.Bytes)
	}
	t.Flush()
}

// loaded is what a load gave.
type loaded struct {
	took  []time.Duration // of each operation, sorted
	wall  time.Duration
	first error
}

// load runs op from a number of clients at once, for about the time given.
func load(clients int, length time.Duration, op func(client int) error) (r loaded) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards r
		stop atomic.Bool
	)
	start := time.Now()
	timer := time.AfterFunc(length, func() { stop.Store(true) })
	defer timer.Stop()
	for c := range clients {
		wg.Go(func() {
			var mine []time.Duration
			var err error
			for err == nil && !stop.Load() {
				began := time.Now()
				if err = op(c); err == nil {
					mine = append(mine, time.Since(began))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			r.took = append(r.took, mine...)
			if r.first == nil {
				r.first = err
			}
		})
	}
	wg.Wait()
	r.wall = time.Since(start)
	slices.Sort(r.took)
	return r
}

// figure turns it into a line. cpu is what all of it took.
func (r loaded) figure(name string, clients int, cpu time.Duration) (figure, error) {
	if r.first != nil {
		return figure{}, fmt.Errorf("%s: %w", name, r.first)
	}
	n := len(r.took)
	if n == 0 {
		return figure{}, fmt.Errorf("%s: nothing was done in the time given", name)
	}
	return figure{
		Name: name, Unit: "ms", P50: ms(r.took[n/2]), P99: ms(r.took[min(n-1, n*99/100)]), Rate: float64(n) / r.wall.Seconds(),
		CPU: float64(cpu.Microseconds()) / 1000 / float64(n), Clients: clients, N: n,
	}, nil
}

// ownCPU is the user and system time of this process so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// median runs f n times and returns its median time in milliseconds.
func median(n int, f func() error) (float64, error) {
	var took []time.Duration
	for range n {
		began := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return float64(took[n/2].Nanoseconds()) / 1e6, nil
}
