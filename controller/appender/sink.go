package appender

// Tag is what a Sink knows a request by.
type Tag [2]uint64

// Sink takes the outcomes of requests that nobody waits for one by one, as those
// of a link from another node. Its methods are called by the appender's
// goroutines, which serve everyone: they must be quick and must not wait.
type Sink interface {
	// Done tells what became of the request with the tag: once each.
	Done(tag Tag, r Result, err error)
	// Flush follows one or more Done, so that what is sent is sent together.
	Flush()
	// Gone reports that nobody asks for the outcomes any more. What is in no batch
	// then is not stored (ErrWithdrawn).
	Gone() bool
}
