package pages

import "strconv"

// gray is the color of faint text.
const gray = 8

// paletteColor maps a color of the 256 that terminals have to one that can be read on the light and on
// the dark page. Black and white become the page's own color.
func paletteColor(n int) int {
	switch {
	case n == gray:
		return gray
	case n < 16:
		return n % 8 % 7
	case n < 232: // a cube of six levels each
		n -= 16
		return rgbColor(n/36*51, n/6%6*51, n%6*51)
	default:
		return rgbColor((n-232)*10+8, (n-232)*10+8, (n-232)*10+8)
	}
}

// rgbColor maps a color to the nearest of the palette by its hue.
func rgbColor(r, g, b int) int {
	low, high := min(r, g, b), max(r, g, b)
	if high-low < 40 {
		if low > 64 && high < 192 {
			return gray
		}
		return 0
	}
	color := 0
	for i, c := range []int{r, g, b} {
		if 2*c > low+high {
			color |= 1 << i
		}
	}
	return color
}

// extendedColor reads a color of the palette (5;n) or in red, green and blue (2;r;g;b), and returns the
// fields after it. After colons, there may be a color space before the three.
func extendedColor(fields []string, colons bool) (color int, rest []string) {
	if len(fields) == 0 {
		return 0, nil
	}
	kind := fields[0]
	fields = fields[1:]
	if kind == "2" && colons && len(fields) > 3 {
		fields = fields[1:]
	}
	count := map[string]int{"5": 1, "2": 3}[kind]
	if len(fields) < count || count == 0 {
		return 0, nil
	}
	var n [3]int
	for i := range count {
		n[i], _ = strconv.Atoi(fields[i])
		n[i] = min(max(n[i], 0), 255)
	}
	if kind == "5" {
		return paletteColor(n[0]), fields[count:]
	}
	return rgbColor(n[0], n[1], n[2]), fields[count:]
}
