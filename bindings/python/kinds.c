/* Dates, times, uuid.UUID and ipaddress between Python and the core's union. */
#include "weir_py.h"

#include <datetime.h>

#define SECOND_US INT64_C(1000000)
#define DELTA_DAYS 999999999 /* the most that a timedelta can have, either way */

int weir__py_kinds(void) {
    PyDateTime_IMPORT;
    return PyDateTimeAPI ? 0 : -1;
}

/* ---- from the database */

/* Infinity is the last moment that Python knows, as with asyncpg; an infinite interval the longest one. */
static PyObject *from_date(int32_t days) {
    if (days == INT32_MAX) return PyDate_FromDate(9999, 12, 31);
    if (days == INT32_MIN) return PyDate_FromDate(1, 1, 1);
    int year, month, day;
    weir_date_from_days(days, &year, &month, &day);
    return PyDate_FromDate(year, month, day);
}

static PyObject *make_datetime(int year, int month, int day, int64_t time, PyObject *zone) {
    int seconds = (int)(time / SECOND_US);
    return PyDateTimeAPI->DateTime_FromDateAndTime(year, month, day, seconds / 3600, seconds / 60 % 60,
                                                   seconds % 60, (int)(time % SECOND_US), zone,
                                                   PyDateTimeAPI->DateTimeType);
}

static PyObject *from_timestamp(int64_t time, PyObject *zone) {
    if (time == INT64_MAX) return make_datetime(9999, 12, 31, WEIR_DAY_US - 1, zone);
    if (time == INT64_MIN) return make_datetime(1, 1, 1, 0, zone);
    int64_t of_day = time % WEIR_DAY_US, days = time / WEIR_DAY_US;
    int year, month, day;
    if (of_day < 0) {
        of_day += WEIR_DAY_US;
        days--;
    }
    weir_date_from_days((int32_t)days, &year, &month, &day);
    return make_datetime(year, month, day, of_day, zone);
}

static PyObject *from_time(int64_t time, PyObject *zone) {
    int seconds = (int)(time / SECOND_US);
    return PyDateTimeAPI->Time_FromTime(seconds / 3600, seconds / 60 % 60, seconds % 60,
                                        (int)(time % SECOND_US), zone, PyDateTimeAPI->TimeType);
}

static PyObject *from_timetz(int64_t time, int32_t east) {
    PyObject *offset = PyDelta_FromDSU(0, east, 0);
    PyObject *zone = offset ? PyTimeZone_FromOffset(offset) : NULL;
    PyObject *made = zone ? from_time(time, zone) : NULL;
    Py_XDECREF(offset);
    Py_XDECREF(zone);
    return made;
}

/* A timedelta knows no months: 30 days each, and 365 a year, as with asyncpg. */
static PyObject *from_interval(const weir_value *value) {
    int32_t months = value->as.interval.months;
    int64_t microseconds = value->as.interval.microseconds, rest = microseconds % WEIR_DAY_US;
    int64_t days =
        value->as.interval.days + months / 12 * INT64_C(365) + months % 12 * 30 + microseconds / WEIR_DAY_US;
    int infinity = weir_value_infinity(value);
    if (infinity) {
        days = infinity * DELTA_DAYS;
        rest = infinity > 0 ? WEIR_DAY_US - 1 : 0;
    }
    if (days > DELTA_DAYS || days < -DELTA_DAYS) {
        PyErr_SetString(PyExc_OverflowError, "an interval of more days than a timedelta can have");
        return NULL;
    }
    return PyDelta_FromDSU((int)days, (int)(rest / SECOND_US), (int)(rest % SECOND_US));
}

static PyObject *uuid_type(void) {
    static PyObject *type;
    return weir__py_lazy(&type, "uuid", "UUID");
}

static PyObject *from_uuid(const unsigned char *uuid) {
    PyObject *type = uuid_type();
    PyObject *bytes = type ? PyBytes_FromStringAndSize((const char *)uuid, 16) : NULL;
    if (!bytes) return NULL;
    PyObject *const arguments[] = {Py_None, bytes}; /* UUID(hex=None, bytes=…) */
    PyObject *made = PyObject_Vectorcall(type, arguments, 2, NULL);
    Py_DECREF(bytes);
    return made;
}

static PyObject *from_inet(const weir_value *value) {
    static PyObject *address, *interface, *network;
    PyObject *make;
    if (value->type == WEIR_TYPE_CIDR)
        make = weir__py_lazy(&network, "ipaddress", "ip_network");
    else if (memchr(value->as.bytes.data, '/', value->as.bytes.length))
        make = weir__py_lazy(&interface, "ipaddress", "ip_interface");
    else
        make = weir__py_lazy(&address, "ipaddress", "ip_address");
    if (!make) return NULL;
    return PyObject_CallFunction(make, "s#", value->as.bytes.data, (Py_ssize_t)value->as.bytes.length);
}

PyObject *weir__py_from_kind(const weir_value *value) {
    switch (value->type) {
    case WEIR_TYPE_DATE:
        return from_date(value->as.date);
    case WEIR_TYPE_TIME:
        return from_time(value->as.time, Py_None);
    case WEIR_TYPE_TIMETZ:
        return from_timetz(value->as.timetz.time, value->as.timetz.east);
    case WEIR_TYPE_TIMESTAMP:
        return from_timestamp(value->as.time, Py_None);
    case WEIR_TYPE_TIMESTAMPTZ:
        return from_timestamp(value->as.time, PyDateTime_TimeZone_UTC);
    case WEIR_TYPE_INTERVAL:
        return from_interval(value);
    case WEIR_TYPE_UUID:
        return from_uuid(value->as.uuid);
    case WEIR_TYPE_INET:
    case WEIR_TYPE_CIDR:
        return from_inet(value);
    default:
        return weir__py_fail(WEIR_EVALUE, "a value of the unknown kind %d", (int)value->type);
    }
}

/* ---- to the database */

/* The time zone's distance from UTC at that moment. 1: it has one; 0: it has none; -1 with an exception. */
static int utc_offset(PyObject *object, PyObject *zone, int64_t *east) {
    *east = 0;
    if (zone == Py_None) return 0;
    if (zone == PyDateTime_TimeZone_UTC) return 1;
    PyObject *offset = PyObject_CallMethod(object, "utcoffset", NULL);
    if (!offset) return -1;
    int known = offset != Py_None; /* datetime itself sees to it that it is less than a day */
    if (known && !PyDelta_Check(offset)) {
        PyErr_Format(PyExc_ValueError, "has a utcoffset() that gives no timedelta, but %s",
                     Py_TYPE(offset)->tp_name);
        known = -1;
    }
    if (known > 0)
        *east = (PyDateTime_DELTA_GET_DAYS(offset) * INT64_C(86400) + PyDateTime_DELTA_GET_SECONDS(offset)) *
                    SECOND_US +
                PyDateTime_DELTA_GET_MICROSECONDS(offset);
    Py_DECREF(offset);
    return known;
}

static int64_t days_of(PyObject *date) {
    return weir_days_from_date(PyDateTime_GET_YEAR(date), PyDateTime_GET_MONTH(date),
                               PyDateTime_GET_DAY(date));
}

static int64_t clock_of(int hour, int minute, int second, int microsecond) {
    return (hour * 3600 + minute * 60 + second) * SECOND_US + microsecond;
}

static int to_timestamp(PyObject *object, weir_value *out) {
    static const int64_t first = -730119 * WEIR_DAY_US; /* 0001-01-01 */
    static const int64_t last = INT64_C(2921940) * WEIR_DAY_US - 1;
    int64_t east;
    int aware = utc_offset(object, PyDateTime_DATE_GET_TZINFO(object), &east);
    if (aware < 0) return -1;
    int64_t time = days_of(object) * WEIR_DAY_US +
                   clock_of(PyDateTime_DATE_GET_HOUR(object), PyDateTime_DATE_GET_MINUTE(object),
                            PyDateTime_DATE_GET_SECOND(object), PyDateTime_DATE_GET_MICROSECOND(object));
    if (!east && (time == first || time == last))
        time = time < 0 ? INT64_MIN : INT64_MAX;
    else
        time -= east;
    *out = (weir_value){.type = aware ? WEIR_TYPE_TIMESTAMPTZ : WEIR_TYPE_TIMESTAMP, .as.time = time};
    return 1;
}

static int to_date(PyObject *object, weir_value *out) {
    int64_t days = days_of(object);
    if (days == -730119) days = INT32_MIN;
    if (days == 2921939) days = INT32_MAX;
    *out = (weir_value){.type = WEIR_TYPE_DATE, .as.date = (int32_t)days};
    return 1;
}

static int to_time(PyObject *object, weir_value *out) {
    int64_t east,
        time = clock_of(PyDateTime_TIME_GET_HOUR(object), PyDateTime_TIME_GET_MINUTE(object),
                        PyDateTime_TIME_GET_SECOND(object), PyDateTime_TIME_GET_MICROSECOND(object));
    int aware = utc_offset(object, PyDateTime_TIME_GET_TZINFO(object), &east);
    if (aware < 0) return -1;
    *out = (weir_value){.type = WEIR_TYPE_TIME, .as.time = time};
    if (!aware) return 1;
    if (east % SECOND_US) {
        PyErr_SetString(PyExc_ValueError, "has a time zone that is not whole seconds from UTC");
        return -1;
    }
    *out = (weir_value){.type = WEIR_TYPE_TIMETZ, .as.timetz = {time, (int32_t)(east / SECOND_US)}};
    return 1;
}

static int to_interval(PyObject *object, weir_value *out) {
    int days = PyDateTime_DELTA_GET_DAYS(object);
    int64_t rest =
        PyDateTime_DELTA_GET_SECONDS(object) * SECOND_US + PyDateTime_DELTA_GET_MICROSECONDS(object);
    *out = (weir_value){.type = WEIR_TYPE_INTERVAL, .as.interval = {0, days, rest}};
    if (days == DELTA_DAYS && rest == WEIR_DAY_US - 1)
        *out = (weir_value){.type = WEIR_TYPE_INTERVAL, .as.interval = {INT32_MAX, INT32_MAX, INT64_MAX}};
    if (days == -DELTA_DAYS && rest == 0)
        *out = (weir_value){.type = WEIR_TYPE_INTERVAL, .as.interval = {INT32_MIN, INT32_MIN, INT64_MIN}};
    return 1;
}

static int to_uuid(PyObject *object, weir_value *out) {
    PyObject *bytes = PyObject_GetAttrString(object, "bytes");
    if (!bytes) return -1;
    int found = PyBytes_Check(bytes) && PyBytes_GET_SIZE(bytes) == 16;
    out->type = WEIR_TYPE_UUID;
    if (found) memcpy(out->as.uuid, PyBytes_AS_STRING(bytes), 16);
    Py_DECREF(bytes);
    return found;
}

/* Is it an instance of one of the two classes? -1 with an exception. */
static int is_one_of(PyObject *object, PyObject **four, PyObject **six, const char *name4,
                     const char *name6) {
    if (!weir__py_lazy(four, "ipaddress", name4) || !weir__py_lazy(six, "ipaddress", name6)) return -1;
    int found = PyObject_IsInstance(object, *four);
    return found ? found : PyObject_IsInstance(object, *six);
}

static int to_inet(PyObject *object, weir_value *out, PyObject **keep) {
    static PyObject *address4, *address6, *network4, *network6;
    /* an interface is an address */
    int host = is_one_of(object, &address4, &address6, "IPv4Address", "IPv6Address");
    int network = host ? 0 : is_one_of(object, &network4, &network6, "IPv4Network", "IPv6Network");
    if (host < 0 || network < 0) return -1;
    if (!host && !network) return 0;
    *keep = PyObject_Str(object);
    Py_ssize_t length;
    const char *text = *keep ? PyUnicode_AsUTF8AndSize(*keep, &length) : NULL;
    if (!text) return -1;
    *out = (weir_value){.type = host ? WEIR_TYPE_INET : WEIR_TYPE_CIDR, .as.bytes = {text, (size_t)length}};
    return 1;
}

int weir__py_to_kind(PyObject *object, weir_value *out, PyObject **keep) {
    if (PyDateTime_Check(object)) return to_timestamp(object, out);
    if (PyDate_Check(object)) return to_date(object, out);
    if (PyTime_Check(object)) return to_time(object, out);
    if (PyDelta_Check(object)) return to_interval(object, out);
    PyObject *type = uuid_type();
    int is_uuid = type ? PyObject_IsInstance(object, type) : -1;
    if (is_uuid) return is_uuid < 0 ? -1 : to_uuid(object, out);
    return to_inet(object, out, keep);
}
