// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// A thread that runs one function and returns its number.
final class SingleUseThread: Sendable {
    private final class Body {
        let run: @Sendable () -> CInt
        var result: CInt = 0
        init(_ run: @escaping @Sendable () -> CInt) { self.run = run }
    }

    // The pointer is written once before the thread starts and read again only after it was joined.
    private nonisolated(unsafe) let body: Unmanaged<Body>
    private let thread: pthread_t

    init(_ run: @escaping @Sendable () -> CInt) {
        body = Unmanaged.passRetained(Body(run))
        var id = pthread_t()
        let status = pthread_create(
            &id,
            nil,
            { raw in
                guard let raw else { return nil }
                let body = Unmanaged<Body>.fromOpaque(raw).takeUnretainedValue()
                body.result = body.run()
                return nil
            },
            body.toOpaque()
        )
        precondition(status == 0, "the system has no thread left")
        thread = id
    }

    func join() -> CInt {
        pthread_join(thread, nil)
        return body.takeRetainedValue().result
    }
}

/// Starts a thread that is never joined; false when the system has none left.
public func startThread(_ run: @escaping @Sendable () -> Void) -> Bool {
    final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    let body = Unmanaged.passRetained(Body(run))
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
    defer { pthread_attr_destroy(&attributes) }
    var id = pthread_t()
    let status = pthread_create(
        &id,
        &attributes,
        { raw in
            guard let raw else { return nil }
            Unmanaged<Body>.fromOpaque(raw).takeRetainedValue().run()
            return nil
        },
        body.toOpaque()
    )
    if status != 0 { body.release() }
    return status == 0
}
