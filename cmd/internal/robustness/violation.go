package robustness

import (
	"fmt"
	"strings"
	"sync"
)

// maxTold bounds how many violations of one promise are kept in words.
const maxTold = 5

// Violations are the broken promises that were found. It is safe for
// concurrent use; the zero value is ready.
type Violations struct {
	mu    sync.Mutex
	told  []string
	count map[string]int // by promise
}

// Addf notes that a promise was broken.
func (v *Violations) Addf(promise, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.count == nil {
		v.count = map[string]int{}
	}
	if v.count[promise]++; v.count[promise] <= maxTold {
		v.told = append(v.told, promise+": "+fmt.Sprintf(format, args...))
	}
}

// Count is how often a promise was broken; "" counts all.
func (v *Violations) Count(promise string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for p, k := range v.count {
		if promise == "" || p == promise {
			n += k
		}
	}
	return n
}

// String is every violation that is kept, one a paragraph.
func (v *Violations) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := strings.Join(v.told, "\n")
	for p, n := range v.count {
		if n > maxTold {
			s += fmt.Sprintf("\n%s: %d in all", p, n)
		}
	}
	return s
}
