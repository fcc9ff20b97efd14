package event

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"hwledger/internal/fault"
)

// The example of RFC 8785 sections 3.2.2 to 3.2.4, and its table of numbers in
// appendix B.
func TestCanonicalVectors(t *testing.T) {
	const input = `{
		"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
		"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
		"literals": [null, true, false]
	}`
	const want = "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333333333332e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d"
	got, err := Canonicalize([]byte(input))
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("%s, %v", got, err)
	}
	sorted, err := Canonicalize([]byte(`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`))
	order := "Carriage Return, One, Control, Latin Small Letter O With Diaeresis, Euro Sign, Emoji: Grinning Face, Hebrew Letter Dalet With Dagesh"
	if err != nil || strings.Join(valuesOf(t, sorted), ", ") != order {
		t.Errorf("the order is %v, %v", valuesOf(t, sorted), err)
	}
	for in, out := range map[string]string{
		"0": "0", "-0": "0", "5e-324": "5e-324", "-5e-324": "-5e-324", "1.7976931348623157e308": "1.7976931348623157e+308",
		"9007199254740992": "9007199254740992", "-9007199254740992": "-9007199254740992", "295147905179352830000e0": "295147905179352830000",
		"9.999999999999997e22": "9.999999999999997e+22", "1e23": "1e+23", "1e21": "1e+21", "999999999999999900000.0": "999999999999999900000",
		"0.000001": "0.000001", "1e-7": "1e-7", "333333333.3333332": "333333333.3333332", "1424953923781206.2": "1424953923781206.2",
	} {
		got, err := Canonicalize([]byte(`{"n":` + in + `}`))
		if err != nil || string(got) != `{"n":`+out+`}` {
			t.Errorf("%s becomes %s, want %s; %v", in, got, out, err)
		}
	}
}

func valuesOf(t *testing.T, object []byte) []string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(object)))
	var out []string
	for i := 0; ; i++ {
		tok, err := d.Token()
		if err != nil {
			return out
		}
		if s, ok := tok.(string); ok && i%2 == 0 {
			out = append(out, s)
		}
	}
}

func TestNotCanonical(t *testing.T) {
	for _, in := range []string{
		``, `[]`, `"x"`, `1`, `null`, `{`, `{}{}`, `{"a":1,"a":2}`, `{"a":"` + "\xff" + `"}`, `{"a":"\ud800"}`, `{"a":NaN}`, `{"a":01}`,
		`{"a":9007199254740993}`, `{"a":-9007199254740993}`, `{"a":18446744073709551615}`, `{"a":[1,{"b":12345678901234567890}]}`, `{"a":1e400}`,
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, `{"a":"` + strings.Repeat("x", MaxPayload) + `"}`,
	} {
		_, err := Canonicalize([]byte(in))
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.InvalidArgument || f.Hint == "" {
			t.Errorf("%.60s: %v", in, err)
		}
	}
	_, err := Canonicalize([]byte(`{"a":[1,{"b":12345678901234567890}]}`))
	var f *fault.Error
	if !errors.As(err, &f) || f.Field != "payload.a.1.b" {
		t.Errorf("the field is not named: %v", err)
	}
}

func TestPayloads(t *testing.T) {
	for name, c := range map[string]struct {
		typ      Type
		in, want string
	}{
		"energy's price":       {TypeCost, `{"kind":"energy","energy_mj":1260000000,"unit_price_micro_usd":300000}`, `{"amount_micro_usd":105000,"energy_mj":1260000000,"kind":"energy","unit_price_micro_usd":300000}`},
		"rental by the hour":   {TypeCost, `{"kind":"rental","unit_price_micro_usd":3990000,"period_start":"2026-11-25T12:00:00Z","period_end":"2026-11-25T13:30:00Z"}`, `{"amount_micro_usd":5985000,"kind":"rental","period_end":"2026-11-25T13:30:00Z","period_start":"2026-11-25T12:00:00Z","unit_price_micro_usd":3990000}`},
		"an amount stays":      {TypeCost, `{"amount_micro_usd":5,"kind":"api"}`, `{"amount_micro_usd":5,"kind":"api"}`},
		"null is left out":     {TypeNote, `{"text":"x","model":null}`, `{"text":"x"}`},
		"integers are written": {TypePrediction, `{"required_bytes":1e3}`, `{"required_bytes":1000}`},
		"zero is known":        {TypeMeasurement, `{"energy_mj":0}`, `{"energy_mj":0}`},
	} {
		got, err := Payload(c.typ, []byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		typ      Type
		in, says string
	}{
		"no amount":                {TypeCost, `{"kind":"api"}`, "unit_price_micro_usd"},
		"energy by the hour":       {TypeCost, `{"kind":"energy","unit_price_micro_usd":1,"period_start":"2026-11-25T12:00:00Z","period_end":"2026-11-25T13:00:00Z"}`, "energy_mj"},
		"backwards":                {TypeCost, `{"kind":"rental","amount_micro_usd":1,"period_start":"2026-11-25T12:00:00Z","period_end":"2026-11-24T12:00:00Z"}`, "before it starts"},
		"an estimate that settles": {TypeCost, `{"kind":"api","amount_micro_usd":1,"settles":[1]}`, "invoice"},
		"negative":                 {TypeCost, `{"kind":"api","amount_micro_usd":-1}`, "amount_micro_usd"},
		"no source":                {TypePrice, `{"provider":"x","resource":"y","unit":"hour","amount_micro_usd":1,"price_time":"2026-11-25T12:00:00Z"}`, "source"},
		"price's time":             {TypePrice, `{"provider":"x","resource":"y","unit":"hour","amount_micro_usd":1,"source":"z","price_time":"today"}`, "RFC 3339"},
		"misspelt":                 {TypeMeasurement, `{"require_bytes":5}`, "required_bytes"},
	} {
		_, err := Payload(c.typ, []byte(c.in))
		var f *fault.Error
		if !errors.As(err, &f) || f.Hint == "" || !strings.Contains(f.Error()+f.Hint+strings.Join(f.Candidates, " "), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPromptDigest(t *testing.T) {
	sum, n := PromptDigest("abc") // FIPS 180-2's example
	if sum != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" || n != 3 {
		t.Errorf("%s %d", sum, n)
	}
}

// Whatever is canonical stays as it is, and is what it was.
func FuzzCanonicalize(f *testing.F) {
	for _, s := range []string{`{}`, `{"b":1,"a":[true,null,"\u00e9\n"],"c":{"d":1e-7}}`, `{"a":9007199254740993}`, `{"a":-0}`, `{"\ud83d\ude00":1,"\ufb33":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Canonicalize(in)
		if err != nil {
			return
		}
		if !jsontext.Value(out).IsValid() {
			t.Fatalf("%q becomes %q", in, out)
		}
		again, err := Canonicalize(out)
		if err != nil || string(again) != string(out) {
			t.Errorf("%q becomes %q, and that %q (%v)", in, out, again, err)
		}
		if err := exact(in); err != nil {
			t.Errorf("%q passed: %v", in, err)
		}
	})
}
