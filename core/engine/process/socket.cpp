#include "core/engine/process/socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include "core/error.h"

namespace shardscope {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

[[noreturn]] void fail(const std::string& what, const std::string& host, int port, const char* why) {
  throw Error(ErrorKind::kDevice, fmt::format("{} {}:{}: {}", what, host.empty() ? "*" : host, port, why));
}

Addresses resolve(const std::string& host, int port, bool to_listen) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (to_listen ? AI_PASSIVE : 0);
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) fail("cannot find", host, port, ::gai_strerror(error));
  return Addresses(list);
}

/// Small messages go at once: ranks wait for them.
void set_options(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool wait_for(int fd, short events, const Deadline& deadline) {
  pollfd entry{fd, events, 0};
  return ::poll(&entry, 1, deadline.left_ms()) > 0;
}

/// 0 or the reason why there is no connection to this address within the time.
int try_connect(int fd, const addrinfo& address, const Deadline& deadline) {
  if (::connect(fd, address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!wait_for(fd, POLLOUT, deadline)) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

int open_socket(const addrinfo& address) {
  return ::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
}

sockaddr_storage name_of(int fd) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
  return name;
}

std::string host_of(int fd) {
  const sockaddr_storage name = name_of(fd);
  char host[NI_MAXHOST] = "";
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&name), sizeof name, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  return host;
}

}  // namespace

int Deadline::left_ms() const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end_ - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000));
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

Socket::Socket(Fd fd) : fd_(std::move(fd)) { set_options(fd_.get()); }

Socket Socket::connect(const std::string& host, int port, const Deadline& deadline) {
  const Addresses addresses = resolve(host, port, false);
  for (;;) {
    int error = 0;
    for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
      Fd fd(open_socket(*a));
      error = fd ? try_connect(fd.get(), *a, deadline) : errno;
      if (error == 0) return Socket(std::move(fd));
    }
    if (deadline.passed()) fail("cannot connect to", host, port, std::strerror(error));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

std::optional<std::size_t> Socket::read_some(std::span<std::byte> to) {
  const ssize_t n = ::recv(fd_.get(), to.data(), to.size(), 0);
  if (n > 0) return static_cast<std::size_t>(n);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return 0;
  return std::nullopt;
}

std::optional<std::size_t> Socket::write_some(std::span<const std::byte> from) {
  const ssize_t n = ::send(fd_.get(), from.data(), from.size(), MSG_NOSIGNAL);
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
  return std::nullopt;
}

bool Socket::read_all(std::span<std::byte> to, const Deadline& deadline) {
  while (!to.empty()) {
    const auto n = read_some(to);
    if (!n) return false;
    to = to.subspan(*n);
    if (*n == 0 && (deadline.passed() || !wait_for(fd(), POLLIN, deadline))) return false;
  }
  return true;
}

bool Socket::write_all(std::span<const std::byte> from, const Deadline& deadline) {
  while (!from.empty()) {
    const auto n = write_some(from);
    if (!n) return false;
    from = from.subspan(*n);
    if (*n == 0 && (deadline.passed() || !wait_for(fd(), POLLOUT, deadline))) return false;
  }
  return true;
}

void Socket::finish_writing() { ::shutdown(fd_.get(), SHUT_WR); }

std::string Socket::local_host() const { return host_of(fd()); }

Listener Listener::open(const std::string& host, int port) {
  const Addresses addresses = resolve(host, port, true);
  int error = 0;
  for (const int family : {AF_INET6, AF_INET}) {  // IPv6 first: "every address" of it takes IPv4 too
    for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
      if (a->ai_family != family) continue;
      Fd fd(open_socket(*a));
      const int on = 1, off = 0;
      if (fd) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (fd && family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      if (fd && ::bind(fd.get(), a->ai_addr, a->ai_addrlen) == 0 && ::listen(fd.get(), SOMAXCONN) == 0) {
        return Listener(std::move(fd));
      }
      error = errno;
    }
  }
  fail("cannot listen at", host, port, std::strerror(error));
}

std::optional<Socket> Listener::accept() {
  Fd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return std::nullopt;
  return Socket(std::move(fd));
}

std::string Listener::host() const { return host_of(fd()); }

int Listener::port() const {
  const sockaddr_storage name = name_of(fd());
  return ntohs(name.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(name).sin6_port
                                          : reinterpret_cast<const sockaddr_in&>(name).sin_port);
}

}  // namespace shardscope
