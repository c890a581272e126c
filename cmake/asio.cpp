// The bodies of Boost.Asio and Boost.Beast, compiled here once (BOOST_*_SEPARATE_COMPILATION, set for every target).
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
