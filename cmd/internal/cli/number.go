package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/pflag"
)

// number is the value of a flag that takes a whole number between two bounds,
// and says so where it is given another.
type number[T uint8 | uint16 | uint32] struct {
	value       *T
	least, most uint64
}

// numberVar defines such a flag.
func numberVar[T uint8 | uint16 | uint32](f *pflag.FlagSet, value *T, name string, initial T, least, most uint64, usage string) {
	*value = initial
	f.Var(&number[T]{value, least, most}, name, usage)
}

func (n *number[T]) Set(s string) error {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || v < n.least || v > n.most {
		return fmt.Errorf("want a whole number from %d to %d", n.least, n.most)
	}
	*n.value = T(v)
	return nil
}

func (n *number[T]) String() string {
	if n.value == nil { // pflag asks the zero value
		return "0"
	}
	return strconv.FormatUint(uint64(*n.value), 10)
}

func (n *number[T]) Type() string { return "number" }
