package jobs

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// A Number is an exact decimal number of any size for the inputs and outputs of services: 0.1 is
// exactly a tenth, and 9007199254740993 is odd. In JSON it is a number. Where a float64 is exact
// enough, use that.
type Number struct{ big.Rat }

// maxDigits limits the digits on either side of the decimal point, so that a short text such as
// 1e999999999 cannot exhaust the memory.
const maxDigits = 10_000

// errTooLong is permanent: another attempt would fail too.
var errTooLong = fmt.Errorf("the number has more than %d digits: %w", maxDigits, ErrPermanent)

// UnmarshalJSON implements [encoding/json.Unmarshaler].
func (n *Number) UnmarshalJSON(text []byte) error {
	digits, exponent, _ := strings.Cut(strings.ToLower(string(text)), "e")
	e, err := strconv.Atoi("0" + strings.TrimLeft(exponent, "+-"))
	if err != nil || len(digits)+e > maxDigits {
		return errTooLong
	}
	if _, ok := n.SetString(string(text)); !ok {
		return errors.New("expected a number")
	}
	return nil
}

// MarshalJSON implements [encoding/json.Marshaler]. It writes all digits of a finite decimal, and
// otherwise the shortest text for the nearest float64.
func (n Number) MarshalJSON() ([]byte, error) {
	if n.IsInt() {
		return limited(n.Num().String())
	}
	if digits, exact := n.FloatPrec(); exact {
		return limited(n.FloatString(digits))
	}
	f, _ := n.Float64()
	return strconv.AppendFloat(nil, f, 'g', -1, 64), nil
}

func limited(text string) ([]byte, error) {
	if len(text) > 3*maxDigits { // a product of two inputs has fewer
		return nil, errTooLong
	}
	return []byte(text), nil
}
