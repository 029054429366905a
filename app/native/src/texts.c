/* Atoms of texts that their class reads (protocol section 2, the table of grammars).
 *
 * What a class can't read is text; the kernel doesn't say so but leaves it to the reference (UNREAD), as it does for
 * numbers of more digits than are written here. */
#include "out.h"

enum { TAG_LOCAL = 0x07, TAG_INSTANT, TAG_DATE, TAG_TIME, TAG_UUID, TAG_INTERVAL = 0x0e };

enum { DAY_SECONDS = 86400, DAYS_TO_1970 = 719163 /* from 0001-01-01 */, YEAR_DIGITS = 9, FRACTION_DIGITS = 9 };

static const int64_t SECOND_NS = 1000000000;

static inline int is_digit(const struct cursor *text)
{
    return text->at < text->end && *text->at >= '0' && *text->at <= '9';
}

/* Past one character, if it is this one. */
static inline int passed(struct cursor *text, uint8_t wanted)
{
    if (text->at == text->end || *text->at != wanted)
        return 0;
    text->at++;
    return 1;
}

/* Digits, as many as there are up to `most` (18 at most: below 10**18, within int64); returns how many. */
static int digits(struct cursor *text, int most, int64_t *number)
{
    int count = 0;
    for (*number = 0; count < most && is_digit(text); count++)
        *number = 10 * *number + (*text->at++ - '0');
    return count;
}

static int two_digits(struct cursor *text, int64_t most, int64_t *number)
{
    return digits(text, 2, number) == 2 && *number <= most;
}

static int64_t floor_of(int64_t number, int64_t divisor)
{
    return number / divisor - (number % divisor < 0);
}

static int is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days since 1970-01-01 of `[+-]YYYY-MM-DD`; the year has YEAR_DIGITS at most, so that nothing here leaves int64. */
static int date(struct cursor *text, int64_t *days)
{
    static const int64_t BEFORE[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    int64_t year, month, day;
    int is_negative = passed(text, '-');
    if (!is_negative)
        passed(text, '+');
    if (digits(text, YEAR_DIGITS, &year) < 4 || !passed(text, '-') || !two_digits(text, 12, &month) || !passed(text, '-')
        || !two_digits(text, 31, &day) || month < 1 || day < 1)
        return UNREAD;
    if (is_negative)
        year = -year;
    if (day > BEFORE[month] - BEFORE[month - 1] + (month == 2 && is_leap(year)))
        return UNREAD;
    int64_t past = year - 1;
    *days = 365 * past + floor_of(past, 4) - floor_of(past, 100) + floor_of(past, 400) + BEFORE[month - 1]
        + (month > 2 && is_leap(year)) + day - DAYS_TO_1970;
    return DECODED;
}

/* `.f{1,9}` as nanoseconds, 0 where there is no point. */
static int fraction(struct cursor *text, int64_t *nanoseconds)
{
    *nanoseconds = 0;
    if (!passed(text, '.'))
        return DECODED;
    int count = digits(text, FRACTION_DIGITS, nanoseconds);
    if (count == 0)
        return UNREAD;
    for (; count < FRACTION_DIGITS; count++)
        *nanoseconds *= 10;
    return DECODED;
}

/* `hh:mm[:ss[.f]]` as seconds since midnight and nanoseconds. */
static int clock_time(struct cursor *text, int64_t *seconds, int64_t *nanoseconds)
{
    int64_t hour, minute, second = 0;
    *nanoseconds = 0;
    if (!two_digits(text, 23, &hour) || !passed(text, ':') || !two_digits(text, 59, &minute))
        return UNREAD;
    if (passed(text, ':')) {
        if (!two_digits(text, 59, &second))
            return UNREAD;
        TRY(fraction(text, nanoseconds));
    }
    *seconds = hour * 3600 + minute * 60 + second;
    return DECODED;
}

/* `Z` or `±hh:mm` up to the end, as seconds east of UTC. */
static int zone(struct cursor *text, int64_t *seconds)
{
    int64_t hour, minute;
    *seconds = 0;
    if (!passed(text, 'Z')) {
        int is_west = passed(text, '-');
        if ((!is_west && !passed(text, '+')) || !two_digits(text, 23, &hour) || !passed(text, ':')
            || !two_digits(text, 59, &minute))
            return UNREAD;
        *seconds = (is_west ? -1 : 1) * (hour * 3600 + minute * 60);
    }
    return text->at == text->end ? DECODED : UNREAD;
}

/* The end, or a zone that is not looked at. */
static int ignored_zone(struct cursor *text)
{
    int64_t seconds;
    return text->at == text->end ? DECODED : zone(text, &seconds);
}

static int put_stamp(struct work *work, int64_t class, struct cursor *text)
{
    int64_t days, seconds, nanoseconds, east = 0;
    TRY(date(text, &days));
    if (!passed(text, 'T'))
        return UNREAD;
    TRY(clock_time(text, &seconds, &nanoseconds));
    TRY(class == INSTANT ? zone(text, &east) : ignored_zone(text));
    TRY(put_tagged(work, class == INSTANT ? TAG_INSTANT : TAG_LOCAL, days * DAY_SECONDS + seconds - east));
    return put_u32(work, (uint32_t)nanoseconds);
}

static int put_date(struct work *work, struct cursor *text)
{
    int64_t days;
    TRY(date(text, &days));
    TRY(ignored_zone(text));
    return put_tagged(work, TAG_DATE, days);
}

static int put_time(struct work *work, struct cursor *text)
{
    int64_t seconds, nanoseconds;
    TRY(clock_time(text, &seconds, &nanoseconds));
    TRY(ignored_zone(text));
    return put_tagged(work, TAG_TIME, seconds * SECOND_NS + nanoseconds);
}

static int half_byte(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20; /* lower case */
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* 8-4-4-4-12 hex digits, any case. */
static int put_uuid(struct work *work, const struct cursor *text)
{
    enum { UUID_TEXT = 36 };
    if (text->end - text->at != UUID_TEXT)
        return UNREAD;
    TRY(put_byte(work, TAG_UUID));
    for (int place = 0; place < UUID_TEXT;) {
        if (place == 8 || place == 13 || place == 18 || place == 23) {
            if (text->at[place++] != '-')
                return UNREAD;
            continue;
        }
        /* groups have even lengths, so that place + 1 is in the same one */
        int high = half_byte(text->at[place]), low = half_byte(text->at[place + 1]);
        if (high < 0 || low < 0)
            return UNREAD;
        TRY(put_byte(work, (uint8_t)(high << 4 | low)));
        place += 2;
    }
    return DECODED;
}

/* `[-]n` before a unit; where the next number has another unit nothing is passed, and it is 0. `most` digits are read. */
static int counted(struct cursor *text, uint8_t unit, int most, int64_t *number, int *parts)
{
    struct cursor ahead = *text;
    int is_negative = passed(&ahead, '-');
    int count = digits(&ahead, most, number);
    if (count == 0 || is_digit(&ahead) || !passed(&ahead, unit)) {
        *number = 0;
        return is_digit(&ahead) ? UNREAD : DECODED;
    }
    *text = ahead;
    *parts += 1;
    if (is_negative)
        *number = -*number;
    return DECODED;
}

/* `[-]n[.f]S` in nanoseconds: the minus holds for the fraction too. */
static int seconds_part(struct cursor *text, int64_t *nanoseconds, int *parts)
{
    int64_t whole, rest;
    *nanoseconds = 0;
    if (text->at == text->end)
        return DECODED;
    int is_negative = passed(text, '-');
    if (digits(text, 8, &whole) == 0 || is_digit(text))
        return UNREAD;
    TRY(fraction(text, &rest));
    if (!passed(text, 'S'))
        return UNREAD;
    *parts += 1;
    *nanoseconds = (is_negative ? -1 : 1) * (whole * SECOND_NS + rest);
    return DECODED;
}

/* The part behind T. 999,999 hours, 9,999,999 minutes and 99,999,999 seconds are 4.3 * 10**18 ns together, within int64. */
static int clock_parts(struct cursor *text, int64_t *nanoseconds)
{
    int64_t hours, minutes, seconds_ns;
    int parts = 0;
    TRY(counted(text, 'H', 6, &hours, &parts));
    TRY(counted(text, 'M', 7, &minutes, &parts));
    TRY(seconds_part(text, &seconds_ns, &parts));
    *nanoseconds = (hours * 3600 + minutes * 60) * SECOND_NS + seconds_ns;
    return parts > 0 ? DECODED : UNREAD;
}

/* `P[nY][nM][nD][T...]`: months, days, nanoseconds; nothing is carried between them. */
static int put_interval(struct work *work, struct cursor *text)
{
    int64_t years, months, days, nanoseconds = 0;
    int parts = 0;
    if (!passed(text, 'P'))
        return UNREAD;
    TRY(counted(text, 'Y', 9, &years, &parts));
    TRY(counted(text, 'M', 9, &months, &parts));
    TRY(counted(text, 'D', 9, &days, &parts));
    if (passed(text, 'T')) {
        TRY(clock_parts(text, &nanoseconds));
        parts++;
    }
    months += 12 * years;
    if (parts == 0 || text->at != text->end || months > INT32_MAX || months < INT32_MIN)
        return UNREAD;
    TRY(put_byte(work, TAG_INTERVAL));
    TRY(put_u32(work, (uint32_t)months));
    TRY(put_u32(work, (uint32_t)days)); /* of nine digits, within int32 */
    return put(work, &nanoseconds, sizeof nanoseconds);
}

int put_read_text(struct work *work, int64_t class, const uint8_t *at, int64_t size)
{
    struct cursor text = {at, at + size};
    switch (class) {
    case INSTANT:
    case LOCAL_TIMESTAMP:
        return put_stamp(work, class, &text);
    case ISO_DATE:
        return put_date(work, &text);
    case ISO_TIME:
        return put_time(work, &text);
    case UUID:
        return put_uuid(work, &text);
    case INTERVAL:
        return put_interval(work, &text);
    case JSON:
        return put_json(work, at, size);
    default:
        return UNREAD;
    }
}
