// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// The end of an overlay mount, on another thread: the kernel forgets each file that was looked at, which takes 80 ms for
/// 30,000 of them. What changed a layer does not go on changing it, so the layer can be published meanwhile; only who
/// mounts the same directory waits.
///
/// For one mount at a time.
final class Unmounting: Sendable {
    private enum State: Sendable {
        case noMount
        case inUse
        /// Nobody uses the mount any more; the descriptor holds it.
        case waiting(CInt)
        case closing
    }

    private let pool: BlockingPool
    private let state = Monitor(State.noMount)

    init(pool: BlockingPool = .shared) { self.pool = pool }

    /// Whether there is a mount yet, used or not.
    var isNeeded: Bool {
        state.withLock(waking: .none) { state in
            if case .noMount = state { false } else { true }
        }
    }

    /// Takes the descriptor of a new mount, which is unmounted some time after its last owner is gone.
    func watch(_ mount: consuming OwnedFD) -> SharedFD {
        state.withLock { $0 = .inUse }
        return SharedFD(mount) { mount in
            let raw = mount.release()
            self.state.withLock { $0 = .waiting(raw) }
            self.pool.submit { self.finish() }
        }
    }

    /// Returns when a mount that nobody uses any more is gone. Blocks.
    ///
    /// Closes it here when no other thread has begun to: all threads of the pool may be waiting in this call.
    func finish() {
        let mount: CInt? = state.wait { state -> CInt?? in
            switch state {
            case .noMount, .inUse: return .some(nil)
            case .closing: return nil
            case .waiting(let raw):
                state = .closing
                return raw
            }
        }
        guard let mount else { return }
        close(mount)
        state.withLock { $0 = .noMount }
    }
}
