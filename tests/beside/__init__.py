"""The kit beside what applications have besides it: extensions, and servers of many kinds."""
