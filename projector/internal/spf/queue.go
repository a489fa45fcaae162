package spf

// queue is a heap of routers by distance, four children a node. A router may
// be in it more than once; who takes it out knows whether it still matters.
type queue []waiting

type waiting struct {
	distance uint64
	router   int32
}

func (q *queue) push(distance uint64, router int32) {
	h := append(*q, waiting{})
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if h[up].distance <= distance {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = waiting{distance, router}
	*q = h
}

func (q *queue) pop() waiting {
	h := *q
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*q = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		kid := 4*i + 1
		if kid >= len(h) {
			break
		}
		least := kid
		for k := kid + 1; k < min(kid+4, len(h)); k++ {
			if h[k].distance < h[least].distance {
				least = k
			}
		}
		if h[least].distance >= last.distance {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = last
	return top
}
