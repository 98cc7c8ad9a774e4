"""The Cowork socket protocol without any I/O: frames, requests, replies and events.

Bytes come in and typed values go out, or the other way round; nothing here opens, waits or logs.

    frames      length prefix: a byte stream cut into payloads, payloads packed for sending
    codec       JSON payloads to and from typed values; the only module that imports msgspec.json
    requests    one structure of parameters for each method, and the table of methods
    replies     one structure for each kind of result
    events      what subscribers are told, and its vocabulary
    text        bytes that may not be UTF-8, turned into text by fixed rules
"""
