package main

import (
	"errors"
	"slices"
	"testing"
)

func TestChoose(t *testing.T) {
	names := []string{"post", "full"}
	for _, test := range []struct {
		args, want []string
		good       bool
	}{
		{nil, nil, false},
		{[]string{"all"}, names, true},
		{[]string{"full"}, []string{"full"}, true},
		{[]string{"full", "nonsense"}, nil, false},
		{[]string{"all", "full"}, nil, false},
	} {
		got, err := choose(test.args, names)
		if !slices.Equal(got, test.want) || (err == nil) != test.good {
			t.Errorf("%q: %q, %v", test.args, got, err)
		}
		if errors.Is(err, errNoneChosen) != (len(test.args) == 0) {
			t.Errorf("%q: %v", test.args, err)
		}
	}
}
