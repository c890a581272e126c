// A saga: a trip is booked at three services that know nothing of each other, and is booked whole or not at all.
#pragma once

#include <string>

#include <pawl/fields.hpp>
#include <pawl/registry.hpp>

namespace saga {

struct trip {
  std::string who;
  std::string to;
  /// Where the services are, such as "http://127.0.0.1:8080".
  std::string flights;
  std::string hotels;
  std::string cars;
  PAWL_FIELDS(who, to, flights, hotels, cars)
};
/// The numbers under which the services know their part.
struct bookings {
  std::string flight;
  std::string hotel;
  std::string car;
  PAWL_FIELDS(flight, hotel, car)
};

/// Adds the type `book-trip`.
void add_to(pawl::registry& types);

}  // namespace saga
