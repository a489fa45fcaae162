package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestSummaryCountsWhatIsMissed(t *testing.T) {
	for _, test := range []struct {
		row     row
		verdict string
		missed  int
	}{
		{row{value: 8, must: 4, aim: 8, more: true}, "aim reached", 0},
		{row{value: 4, must: 4, aim: 8, more: true}, "reached", 0},
		{row{value: 3.9, must: 4, aim: 8, more: true}, "MISSED", 1},
		{row{value: 1, must: 5, aim: 2.5}, "aim reached", 0},
		{row{value: 5, must: 5, aim: 2.5}, "reached", 0},
		{row{value: 5.1, must: 5, aim: 2.5}, "MISSED", 1},
		{row{value: math.NaN(), must: 5, aim: 2.5}, "MISSED", 1},
		{row{value: 99, unbounded: true}, "", 0},
	} {
		var out bytes.Buffer
		r := report{out: &out, rows: []row{test.row}}
		if missed := r.summary(); missed != test.missed || !strings.Contains(out.String(), test.verdict) {
			t.Errorf("%+v: %d missed\n%s", test.row, missed, out.String())
		}
	}
}
