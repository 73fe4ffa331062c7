// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux

/// The size of the terminal behind `fd`; nil when there is none or it does not know.
public func windowSize(of fd: CInt) -> (columns: Int, rows: Int)? {
    var columns: UInt16 = 0
    var rows: UInt16 = 0
    guard galley_window_size(fd, &columns, &rows) == 0, columns > 0, rows > 0 else { return nil }
    return (Int(columns), Int(rows))
}
