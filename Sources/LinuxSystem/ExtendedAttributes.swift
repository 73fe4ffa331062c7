// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// The path by which calls without a directory argument reach a name below a descriptor. Only the last component is
/// not followed, so `name` must be a single component (or empty for the directory itself).
private func throughDescriptor(_ directory: CInt, _ name: RawPath) -> RawPath {
    let base = RawPath("/proc/self/fd/\(directory)")
    return name.isEmpty ? base : base.appending(name)
}

/// Names of the extended attributes of `name` (one component) below `directory`; a symlink's own.
/// Empty where the file system has none.
public func extendedAttributeNames(at directory: CInt, _ name: RawPath) throws(SystemError) -> [String] {
    let path = throughDescriptor(directory, name)
    return try names(path.description) { buffer, size in
        path.withCString { name.isEmpty ? listxattr($0, buffer, size) : llistxattr($0, buffer, size) }
    }
}

/// Names of the extended attributes of an open file.
public func extendedAttributeNames(of fd: CInt) throws(SystemError) -> [String] {
    try names("") { flistxattr(fd, $0, $1) }
}

public func extendedAttribute(at directory: CInt, _ name: RawPath, _ key: String) throws(SystemError) -> [UInt8]? {
    let path = throughDescriptor(directory, name)
    return try value(path.description) { buffer, size in
        path.withCString { name.isEmpty ? getxattr($0, key, buffer, size) : lgetxattr($0, key, buffer, size) }
    }
}

public func extendedAttribute(of fd: CInt, _ key: String) throws(SystemError) -> [UInt8]? {
    try value("") { fgetxattr(fd, key, $0, $1) }
}

public func setExtendedAttribute(
    at directory: CInt,
    _ name: RawPath,
    _ key: String,
    _ value: [UInt8]
) throws(SystemError) {
    let path = throughDescriptor(directory, name)
    let result = path.withCString {
        name.isEmpty ? setxattr($0, key, value, value.count, 0) : lsetxattr($0, key, value, value.count, 0)
    }
    guard result == 0 else { throw .last("setxattr \(key)", path.description) }
}

public func setExtendedAttribute(of fd: CInt, _ key: String, _ value: [UInt8]) throws(SystemError) {
    guard fsetxattr(fd, key, value, value.count, 0) == 0 else { throw .last("setxattr \(key)") }
}

private func names(
    _ path: @autoclosure () -> String,
    _ call: (UnsafeMutablePointer<CChar>?, Int) -> Int
) throws(SystemError) -> [String] {
    while true {
        let size = call(nil, 0)
        if size == 0 { return [] }
        guard size > 0 else {
            if errno == ENOTSUP { return [] }
            throw .last("listxattr", path())
        }
        var buffer = [CChar](repeating: 0, count: size)
        let count = call(&buffer, size)
        if count < 0 {
            if errno == ERANGE { continue }
            throw .last("listxattr", path())
        }
        return buffer[..<count].split(separator: 0).map {
            String(decoding: $0.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
    }
}

private func value(
    _ path: @autoclosure () -> String,
    _ call: (UnsafeMutableRawPointer?, Int) -> Int
) throws(SystemError) -> [UInt8]? {
    while true {
        let size = call(nil, 0)
        guard size >= 0 else {
            if errno == ENODATA || errno == ENOTSUP { return nil }
            throw .last("getxattr", path())
        }
        var buffer = [UInt8](repeating: 0, count: size)
        let count = call(&buffer, size)
        if count < 0 {
            if errno == ERANGE { continue }
            throw .last("getxattr", path())
        }
        return Array(buffer[..<count])
    }
}
