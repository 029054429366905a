/* Atoms of JSON (tag 0c): the canonical text of one RFC 8259 text.
 *
 * What is no JSON, or needs more than is written here (deep nesting, a key twice, a key with what must be escaped, a lone
 * surrogate, long exponents), is the reference's: UNREAD or TOO_MUCH. The text is UTF-8, which was checked before. */
#include "out.h"

#include <stdlib.h>

enum { TAG_JSON = 0x0c, EXPONENT_DIGITS = 9 };

static int put_value(struct work *work, struct cursor *in, int depth);

static void skip_space(struct cursor *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r'))
        in->at++;
}

static int passed(struct cursor *in, uint8_t wanted)
{
    if (in->at == in->end || *in->at != wanted)
        return 0;
    in->at++;
    return 1;
}

/* ---- numbers: `<integer>e<exponent>` after stripping trailing zeros */

/* Past digits; returns how many. */
static int64_t digits(struct cursor *in)
{
    const uint8_t *from = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
        in->at++;
    return in->at - from;
}

static int exponent(struct cursor *in, int64_t *number)
{
    *number = 0;
    if (in->at == in->end || (*in->at | 0x20) != 'e')
        return DECODED;
    in->at++;
    int is_negative = passed(in, '-');
    if (!is_negative)
        passed(in, '+');
    const uint8_t *from = in->at;
    int64_t count = digits(in);
    if (count == 0 || count > EXPONENT_DIGITS)
        return UNREAD;
    for (; from < in->at; from++)
        *number = 10 * *number + (*from - '0');
    if (is_negative)
        *number = -*number;
    return DECODED;
}

/* `e` and a whole number. */
static int put_exponent(struct work *work, int64_t number)
{
    uint8_t text[24], *at = text + sizeof text; /* of 64 bits there are 20 digits at most, a sign and the e */
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do
        *--at = (uint8_t)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        *--at = '-';
    *--at = 'e';
    return put(work, at, text + sizeof text - at);
}

/* Digits without leading and trailing zeros, of the whole part and the fraction as if no point stood between them. The sum
 * of exponents is within int64: nine digits, and sizes of texts. */
static int put_digits(struct work *work, const uint8_t *whole, int64_t wholes, const uint8_t *fraction, int64_t fractions,
                      int64_t power)
{
    int64_t start = work->size, lead = 0, trail = 0;
    TRY(put(work, whole, wholes));
    TRY(put(work, fraction, fractions));
    int64_t count = wholes + fractions;
    while (lead < count && work->out[start + lead] == '0')
        lead++;
    if (lead == count) {
        work->size = start;
        return put(work, "0e0", 3);
    }
    while (work->out[start + count - 1 - trail] == '0')
        trail++;
    work->size -= trail;
    moved_back(work, start, start + lead);
    return put_exponent(work, power + trail - fractions);
}

static int put_json_number(struct work *work, struct cursor *in)
{
    int64_t start = work->size, power, fractions = 0;
    const uint8_t *fraction = in->at;
    if (passed(in, '-'))
        TRY(put_byte(work, '-'));
    const uint8_t *whole = in->at;
    int64_t wholes = digits(in);
    if (wholes == 0 || (wholes > 1 && *whole == '0'))
        return UNREAD;
    if (passed(in, '.')) {
        fraction = in->at;
        fractions = digits(in);
        if (fractions == 0)
            return UNREAD;
    }
    TRY(exponent(in, &power));
    int64_t digits_at = work->size;
    TRY(put_digits(work, whole, wholes, fraction, fractions, power));
    if (work->out[digits_at] == '0') /* zero has no sign */
        moved_back(work, start, digits_at);
    return DECODED;
}

/* ---- strings: only `"`, `\` and control characters are escaped */

static int hex4(struct cursor *in, uint32_t *number)
{
    if (in->end - in->at < 4)
        return UNREAD;
    *number = 0;
    for (int place = 0; place < 4; place++) {
        uint8_t byte = *in->at++, lower = byte | 0x20;
        if (byte >= '0' && byte <= '9')
            *number = *number << 4 | (uint32_t)(byte - '0');
        else if (lower >= 'a' && lower <= 'f')
            *number = *number << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return UNREAD;
    }
    return DECODED;
}

static int put_utf8(struct work *work, uint32_t code)
{
    uint8_t bytes[4];
    if (code < 0x80) {
        bytes[0] = (uint8_t)code;
        return put(work, bytes, 1);
    }
    if (code < 0x800) {
        bytes[0] = (uint8_t)(0xC0 | code >> 6);
        bytes[1] = (uint8_t)(0x80 | (code & 0x3F));
        return put(work, bytes, 2);
    }
    if (code < 0x10000) {
        bytes[0] = (uint8_t)(0xE0 | code >> 12);
        bytes[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        bytes[2] = (uint8_t)(0x80 | (code & 0x3F));
        return put(work, bytes, 3);
    }
    bytes[0] = (uint8_t)(0xF0 | code >> 18);
    bytes[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    bytes[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    bytes[3] = (uint8_t)(0x80 | (code & 0x3F));
    return put(work, bytes, 4);
}

static int put_character(struct work *work, uint32_t code)
{
    static const char HEX[] = "0123456789abcdef";
    if (code < 0x20) {
        const uint8_t text[] = {'\\', 'u', '0', '0', (uint8_t)HEX[code >> 4], (uint8_t)HEX[code & 15]};
        return put(work, text, sizeof text);
    }
    if (code == '"' || code == '\\')
        TRY(put_byte(work, '\\'));
    return put_utf8(work, code);
}

/* The character behind `\u`, of one escape or of two that are a surrogate pair. */
static int put_unicode_escape(struct work *work, struct cursor *in)
{
    uint32_t high, low;
    TRY(hex4(in, &high));
    if (high < 0xD800 || high > 0xDFFF)
        return put_character(work, high);
    if (high > 0xDBFF || !passed(in, '\\') || !passed(in, 'u'))
        return UNREAD;
    TRY(hex4(in, &low));
    if (low < 0xDC00 || low > 0xDFFF)
        return UNREAD;
    return put_character(work, 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
}

static int put_escape(struct work *work, struct cursor *in)
{
    static const char SHORT[] = "\"\\/bfnrt", STANDS_FOR[] = "\"\\/\b\f\n\r\t";
    if (in->at == in->end)
        return UNREAD;
    uint8_t mark = *in->at++;
    if (mark == 'u')
        return put_unicode_escape(work, in);
    const char *found = mark == 0 ? NULL : strchr(SHORT, mark); /* strchr finds the 0 at the end, too */
    return found == NULL ? UNREAD : put_character(work, (uint8_t)STANDS_FOR[found - SHORT]);
}

/* A string with its quotes. */
static int put_string(struct work *work, struct cursor *in)
{
    if (!passed(in, '"'))
        return UNREAD;
    TRY(put_byte(work, '"'));
    for (;;) {
        const uint8_t *from = in->at;
        while (in->at < in->end && *in->at >= 0x20 && *in->at != '"' && *in->at != '\\')
            in->at++;
        TRY(put(work, from, in->at - from));
        if (passed(in, '"'))
            return put_byte(work, '"');
        if (!passed(in, '\\'))
            return UNREAD;
        TRY(put_escape(work, in));
    }
}

/* ---- containers */

static int put_array(struct work *work, struct cursor *in, int depth)
{
    TRY(put_byte(work, '['));
    skip_space(in);
    if (passed(in, ']'))
        return put_byte(work, ']');
    for (;;) {
        TRY(put_value(work, in, depth));
        if (passed(in, ']'))
            return put_byte(work, ']');
        if (!passed(in, ','))
            return UNREAD;
        TRY(put_byte(work, ','));
    }
}

/* One member, `"key":value`. A key with escapes in its canonical form sorts otherwise than its bytes do. */
static int put_json_member(struct work *work, struct cursor *in, int depth)
{
    if (work->parts_used == PARTS)
        return TOO_MUCH;
    int64_t place = work->parts_used++, start = work->size;
    skip_space(in);
    TRY(put_string(work, in));
    int64_t key_size = work->size - start - 2;
    if (memchr(work->out + start, '\\', (size_t)(work->size - start)) != NULL)
        return UNREAD;
    skip_space(in);
    if (!passed(in, ':'))
        return UNREAD;
    TRY(put_byte(work, ':'));
    TRY(put_value(work, in, depth));
    work->parts[place] = (struct part){NULL, key_size, start, work->size - start};
    return DECODED;
}

/* Put members, which stand from `start` on without commas, in the order of their keys. */
static int put_members(struct work *work, struct part *parts, int64_t count, int64_t start)
{
    int64_t from = work->size;
    TRY(grown(work, from - start + count)); /* with commas: now the keys stay where they are */
    for (int64_t place = 0; place < count; place++)
        parts[place].key = work->out + parts[place].start + 1;
    qsort(parts, (size_t)count, sizeof *parts, by_key);
    for (int64_t place = 0; place < count; place++) {
        if (place > 0) {
            if (by_key(parts + place - 1, parts + place) == 0)
                return UNREAD;
            TRY(put_byte(work, ','));
        }
        TRY(put(work, work->out + parts[place].start, parts[place].size));
    }
    moved_back(work, start, from);
    return put_byte(work, '}');
}

static int put_object(struct work *work, struct cursor *in, int depth)
{
    int64_t first = work->parts_used;
    TRY(put_byte(work, '{'));
    skip_space(in);
    if (passed(in, '}'))
        return put_byte(work, '}');
    int64_t start = work->size;
    do
        TRY(put_json_member(work, in, depth));
    while (passed(in, ','));
    if (!passed(in, '}'))
        return UNREAD;
    TRY(put_members(work, work->parts + first, work->parts_used - first, start));
    work->parts_used = first;
    return DECODED;
}

static int put_word(struct work *work, struct cursor *in, const char *word)
{
    int64_t size = (int64_t)strlen(word);
    if (in->end - in->at < size || memcmp(in->at, word, (size_t)size) != 0)
        return UNREAD;
    in->at += size;
    return put(work, word, size);
}

static int put_bare_value(struct work *work, struct cursor *in, int depth)
{
    if (in->at == in->end)
        return UNREAD;
    switch (*in->at) {
    case '{':
        in->at++;
        return put_object(work, in, depth + 1);
    case '[':
        in->at++;
        return put_array(work, in, depth + 1);
    case '"':
        return put_string(work, in);
    case 't':
        return put_word(work, in, "true");
    case 'f':
        return put_word(work, in, "false");
    case 'n':
        return put_word(work, in, "null");
    default:
        return put_json_number(work, in);
    }
}

/* One value and the space around it. Recursion ends at JSON_DEPTH. */
static int put_value(struct work *work, struct cursor *in, int depth)
{
    if (depth > JSON_DEPTH)
        return TOO_MUCH;
    skip_space(in);
    TRY(put_bare_value(work, in, depth));
    skip_space(in);
    return DECODED;
}

int put_json(struct work *work, const uint8_t *text, int64_t size)
{
    struct cursor in = {text, text + size};
    TRY(put_byte(work, TAG_JSON));
    TRY(put_value(work, &in, 0));
    return in.at == in.end ? DECODED : UNREAD;
}
