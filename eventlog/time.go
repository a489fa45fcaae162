package eventlog

// MaxTime is the last millisecond that the format can write, the end of the
// year 9999, in Unix milliseconds.
const MaxTime = 253402300799999

const (
	dayMS = 24 * 60 * 60 * 1000
	// timeLen is the length of every time of the format.
	timeLen = len("2026-11-21T22:29:21.123Z")
)

// AppendTime appends ms (Unix milliseconds, 0…MaxTime) as RFC 3339 UTC with
// milliseconds, the only form of times in the log.
func AppendTime(dst []byte, ms int64) []byte {
	ms = min(max(ms, 0), MaxTime)
	day, rest := ms/dayMS, ms%dayMS
	y, m, d := civil(day)
	sec := rest / 1000
	dst = appendDigits(dst, y/100)
	dst = appendDigits(dst, y%100)
	dst = appendDigits(append(dst, '-'), m)
	dst = appendDigits(append(dst, '-'), d)
	dst = appendDigits(append(dst, 'T'), sec/3600)
	dst = appendDigits(append(dst, ':'), sec/60%60)
	dst = appendDigits(append(dst, ':'), sec%60)
	dst = append(dst, '.', byte('0'+rest%1000/100))
	dst = appendDigits(dst, rest%100)
	return append(dst, 'Z')
}

func appendDigits(dst []byte, v int64) []byte {
	return append(dst, byte('0'+v/10), byte('0'+v%10))
}

// ParseTime reads what AppendTime writes; false for anything else, impossible
// dates and times before 1970 included.
func ParseTime(b []byte) (ms int64, ok bool) {
	if len(b) != timeLen || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' ||
		b[16] != ':' || b[19] != '.' || b[23] != 'Z' {
		return 0, false
	}
	bad := false
	two := func(i int) int64 {
		h, l := b[i]-'0', b[i+1]-'0'
		bad = bad || h > 9 || l > 9
		return int64(h)*10 + int64(l)
	}
	year := two(0)*100 + two(2)
	month, day := two(5), two(8)
	hour, minute, second := two(11), two(14), two(17)
	milli := int64(b[20]-'0')*100 + two(21)
	bad = bad || b[20]-'0' > 9
	if bad || year < 1970 || month < 1 || month > 12 || day < 1 || day > monthDays(year, month) ||
		hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	return daysSince1970(year, month, day)*dayMS + ((hour*60+minute)*60+second)*1000 + milli, true
}

func monthDays(y, m int64) int64 {
	if m == 2 {
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	}
	return 30 + (m+m/8)%2
}

// civil and daysSince1970 are the inverse of each other: the proleptic
// Gregorian calendar counted in years that begin in March, so that the leap
// day is the last of its year.
func civil(days int64) (y, m, d int64) {
	days += 719468
	era := days / 146097
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d = doy - (153*mp+2)/5 + 1
	m = mp + 3
	if m > 12 {
		m -= 12
	}
	y = yoe + era*400
	if m <= 2 {
		y++
	}
	return y, m, d
}

func daysSince1970(y, m, d int64) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}
